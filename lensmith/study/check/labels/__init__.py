"""Labels, boxes and masks that are likely wrong, ranked by what was said of them without having been learned from."""
