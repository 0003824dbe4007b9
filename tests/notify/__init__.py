"""Notifications, as those who get them see them."""
