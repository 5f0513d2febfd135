"""f': the quality model after the selected videos were labeled."""
