"""Many structures through the workflow: one task for each structure and step, on any executor.

Data flow from `entries` (what is there) over `plan` (what is to be done) and `driver` (in which order) to `executors`
(where); there `isolation` gives each task to a process of its own (`child`), in which `execution` does it; `endings`
tells what the end of such a process means. What comes back is kept by `store`, shown by `progress`, and made a page by
`page`.
"""
