"""The stack as its files describe it, as processes of this machine; and one missed goal through it.

Docker, Kubernetes and systemd are not needed: what they would start is started here, by the lines,
variables, folders and health checks of their files, with other host names and paths.
"""
