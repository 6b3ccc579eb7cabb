"""Files of images and boxes: how each format is read, measured and written."""
