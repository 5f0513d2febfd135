"""python -m mdsvqa"""

from mdsvqa.cli.app import main

if __name__ == "__main__":
    main()
