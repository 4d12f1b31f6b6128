"""`python -m valenza`, which torchrun and Accelerate launch on many processes."""

from valenza.cli import main

if __name__ == "__main__":
    main()
