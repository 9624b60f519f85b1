"""What `chaosx init` copies into a new project: links to the folders of this repository, files in a wheel."""
