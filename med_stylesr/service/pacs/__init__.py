"""Between an archive and the batch: receive studies, enhance them when complete, deliver what comes out."""
