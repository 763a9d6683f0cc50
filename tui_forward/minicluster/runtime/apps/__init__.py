"""The applications of the embedded cluster's pods, by image.

An image `docker.io/local/NAME:TAG` (or `local/NAME`, `NAME`) runs the application NAME; the tag
has no effect. Applications are configured by the container's environment or `--key=value`
arguments; each module describes its keys.

================ ===== ============================================================
NAME             port  what it does
================ ===== ============================================================
``http-site``    8080  a small website, `/bytes/N`, `/upload`, `/counters`
``echo``         7000  echoes what it receives
``database``     5432  line protocol: `SET k v`, `GET k`, `DUMP n`, …
``metrics``      9090  a page of Prometheus metrics
``crash-loop``   –     exits with an error after a while
``silent``       –     listens on no port
``toolbox``      7000… one port per behavior, see `toolbox`
================ ===== ============================================================
"""
