"""The rooms of the MedStyleSR module.

Engine (no Slicer, no Qt): problems, process, program, private_install, command, nrrd, box, finer, blend, noise,
engine_run, engine_task, batch_run.
Scene (MRML): volumes, region, enhancement, live_blend, compare, parameters.
Panel (Qt): pump, preferences, choices, enhance_panel, batch_panel, settings_panel.
"""
