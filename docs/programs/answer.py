"""python answer.py model.onnx photo.jpg: what an exported network says of a picture."""
import json, os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"    # before the import: it sends events otherwise
import numpy as np, onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
facts = json.loads(session.get_modelmeta().custom_metadata_map["lensmith"])
form, channels = facts["form"], facts["form"]["channels"]
picture = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
(width, height), fit = picture.size, "none" if facts["fits_inside"] else form["fit"]    # none: the file does it
wide, high = picture.size if fit == "none" else (form["width"], form["height"])
box, size, corner = (0, 0, width, height), (wide, high), (0, 0)
if fit == "crop":     # the middle, in the form's aspect ratio
    scale = max(high / height, wide / width)
    cut = max(1, round(wide / scale)), max(1, round(high / scale))
    left, top = (width - cut[0]) // 2, (height - cut[1]) // 2
    box = (left, top, left + cut[0], top + cut[1])
elif fit == "pad":    # all of it, with gray around
    size = tuple(max(1, round(edge * min(high / height, wide / width))) for edge in (width, height))
    corner = (wide - size[0]) // 2, (high - size[1]) // 2
brought = Image.new(picture.mode, (wide, high), (114,) * channels if channels > 1 else 114)
brought.paste(picture.resize(size, Image.Resampling[form["interpolation"].upper()], box=box), corner)
array = np.asarray(brought).reshape(high, wide, channels).transpose(2, 0, 1)[None]
names = [output.name for output in session.get_outputs()]
answers = {name: answer[0] for name, answer in zip(names, session.run(names, {"pictures": array}))}
for name, target in facts["targets"].items():
    kind, classes, answer = target["kind"], np.array(target["classes"]), answers[name]
    if kind in ("boxes", "masks"):
        scale = np.tile([size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1])], 2)    # back to the file's pixels
        boxes = answers[name if kind == "boxes" else f"{name}_boxes"]
        boxes = ((boxes - np.tile(corner, 2)) / scale + np.tile(box[:2], 2)).round(1).tolist()
        for row in range(answers[f"{name}_count"]):
            if (score := answers[f"{name}_scores"][row]) >= target["shown"]:
                print(name, classes[answers[f"{name}_classes"][row]], round(float(score), 4), boxes[row])
    elif kind == "mask":
        print(name, dict(zip(classes.tolist(), np.bincount(answer.ravel(), minlength=len(classes)).tolist())))
    else:    # the likeliest class first; quantities in their order
        order = np.argsort(-answer) if kind == "label" else np.arange(len(answer))
        print(name, {str(classes[row]): round(float(answer[row]), 4) for row in order})
