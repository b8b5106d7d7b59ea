"""Files to arrays: pictures, videos and folders of frames."""
