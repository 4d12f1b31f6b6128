"""What every server of valenza is made of: its address and process, its guard, its files, and how it says no."""
