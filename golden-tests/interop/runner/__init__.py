"""The interop run: real clients and real servers, with the gateway between them.

`install` fetches the pinned packages, `upstreams` and `clients` say how to start them, `plays` what to drive,
`gateway` and `children` own the processes, `cells` runs one client against one server, `table` reports.
"""
