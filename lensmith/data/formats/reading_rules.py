"""The version of the rules by which data sets are read, and what each version changed."""

# A change of what files are read, what they are called, which classes and splits they give or what their targets are
# adds an entry here. A run keeps the version that it was begun under in its data.json; one without it is of version 0.
CHANGES = {
    1: "folders called Training, testing, dev and the like are splits, what programs leave behind is passed over, and "
       "the lists of Darknet, Roboflow and CVAT are followed, and pictures that are named as they lay elsewhere found",
    2: "of tables the lines of a picture are joined, nan and NA are unknown, a column called label is one whatever its "
       "numbers look like, indices are not learned, flags and folds are splits, and the apostrophe of a "
       "cell such as '=x is not read",
    3: "swapped corners are set right, COCO's ids match whether they are written as text or as numbers, and a picture "
       "that is listed twice is one",
    4: "pictures of the same contents stay in one split",
    5: "pictures of all suffixes that Pillow reads are read, .jfif, .jpe, .avif and .tga among them, and TIFF files of "
       "several pages are not",
    6: "labels drawn before the EXIF rotation are turned with their picture, pose labels give their boxes, and white "
       "(255) is void only where it covers less than the other classes",
    7: "objects of masks that number them have the classes of the masks of classes beside them, and SegmentationObject "
       "is divided by ImageSets/Segmentation; the masks of Label Studio's brushes give boxes; _classes.csv names the "
       "classes of Roboflow's masks; a column such as source is no class of boxes, and IsGroupOf marks crowds",
    8: "folders whose names differ by a word for a split alone, as WIDER_train and WIDER_val, and train_val are "
       "splits; of masks that number objects by class * 256 + n beside masks of classes the classes are read; columns "
       "as x_center, y_center, width, height are boxes, and those of identifiers as lesion_id are not learned",
}
READING = max(CHANGES)


def changes_between(began: int, now: int) -> str:
    """What the versions after `began` changed, up to `now`, in words; "" where none of them is known here."""
    return "; ".join(text for version, text in CHANGES.items() if began < version <= now)
