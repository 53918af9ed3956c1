"""The sections of a Darknet cfg and the options that each may have, by the names that Darknet's parsers read."""

ALIASES = {"network": "net", "conv": "convolutional", "conn": "connected", "max": "maxpool", "avg": "avgpool",
           "local_avg": "local_avgpool", "soft": "softmax", "silence": "empty", "deconv": "deconvolutional",
           "lrn": "normalization", "Gaussian_yolo": "gaussian_yolo"}
UNSUPPORTED = ("detection", "local", "deconvolutional", "normalization", "crnn", "rnn", "gru", "lstm", "conv_lstm",
               "history", "contrastive", "implicit", "l2norm", "logistic", "logxent", "iseg")

# The layers that are detectors' outputs, and the numbers that each takes for an anchor beside its classes.
BESIDE_CLASSES = {"yolo": 5, "gaussian_yolo": 9, "region": 5}

# What any layer may carry: how it is trained, and how it is laid out on a GPU.
_ANY = ("clip onlyforward dont_update burnin_update stopbackward train_only_bn dontload dontloadscales learning_rate "
        "stream wait_stream smooth dontsave numload truth")
_LOSS = ("max_delta counters_per_class label_smooth_eps iou_normalizer obj_normalizer cls_normalizer delta_normalizer "
         "iou_loss iou_thresh_kind beta_nms nms_kind jitter resize focal_loss ignore_thresh truth_thresh iou_thresh "
         "random map max")

_OPTIONS = {
    "net": "max_batches batch learning_rate learning_rate_min sgdr_cycle sgdr_mult momentum decay subdivisions "
           "time_steps track augment_speed sequential_subdivisions try_fix_nan weights_reject_freq equidistant_point "
           "badlabels_rejection_percentage num_sigmas_reject_badlabels ema_alpha use_cuda_graph loss_scale "
           "dynamic_minibatch optimized_memory workspace_size_limit_MB adam B1 B2 eps height width channels inputs "
           "max_crop min_crop max_ratio min_ratio center flip blur gaussian_noise mixup cutmix mosaic letter_box "
           "mosaic_bound contrastive contrastive_jit_flip contrastive_color unsupervised label_smooth_eps resize_step "
           "attention adversarial_lr max_chart_loss angle aspect saturation exposure hue power policy burn_in step "
           "scale steps scales seq_scales gamma show_receptive_field notruth random clip hierarchy",
    "convolutional": "filters groups size stride stride_x stride_y dilation antialiasing pad padding activation "
                     "assisted_excitation share_index batch_normalize cbn binary xnor bin_output sway rotate stretch "
                     "stretch_sway flipped dot angle grad_centr reverse coordconv",
    "connected": "output activation batch_normalize",
    "maxpool": "stride stride_x stride_y size padding maxpool_depth out_channels antialiasing maxpool_zero_nonmax",
    "local_avgpool": "stride stride_x stride_y size padding",
    "avgpool": "",
    "route": "layers groups group_id",
    "shortcut": "from activation weights_type weights_normalization alpha beta",
    "scale_channels": "from activation scale_wh",
    "sam": "from activation",
    "upsample": "stride scale",
    "reorg": "stride reverse flatten extra",
    "reorg3d": "stride reverse",
    "dropout": "probability dropblock dropblock_size_rel dropblock_size_abs",
    "activation": "activation",
    "batchnorm": "",
    "crop": "crop_height crop_width flip angle saturation exposure shift noadjust",
    "empty": "",
    "softmax": "groups temperature tree spatial noloss",
    "cost": "type scale ratio noobj thresh",
    "yolo": "classes num mask anchors scale_x_y objectness_smooth new_coords show_details track_history_size "
            f"sim_thresh dets_for_track dets_for_show track_ciou_norm embedding_layer {_LOSS}",
    "gaussian_yolo": "classes num mask anchors scale_x_y objectness_smooth show_details uc_normalizer yolo_point "
                     f"{_LOSS}",
    "region": "coords classes num anchors log sqrt softmax background max rescore thresh classfix absolute coord_scale "
              f"object_scale noobject_scale mask_scale class_scale bias_match tree {_LOSS}",
}
OPTIONS = {kind: frozenset(f"{names} {_ANY}".split()) if kind != "net" else frozenset(names.split())
           for kind, names in _OPTIONS.items()}
