"""HTML reports, comparison pictures and the viewer."""
