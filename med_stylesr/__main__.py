"""`python -m med_stylesr` is the `med-stylesr` program."""

from med_stylesr.cli.main import run

if __name__ == "__main__":
    run()
