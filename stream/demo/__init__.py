"""`kpi-stream demo`: broker, worker and traffic in one command, and what comes of it, live."""
