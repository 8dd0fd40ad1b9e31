"""What every room shares: errors, settings, files, random numbers, and the types of networks."""
