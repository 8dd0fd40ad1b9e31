"""An experiment as plain data, and the folder that its run leaves: settings, card, files, page."""
