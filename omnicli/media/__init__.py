"""Files to arrays: images, videos and folders of frames."""
