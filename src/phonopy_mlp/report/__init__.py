"""One self-contained page on a finished run, from the files in its folder: `phonopy_mlp.report.page.write_report`."""
