# Varnish with its built-in VCL. Why this is fair:
# - storage is malloc, one thread pool as the server is pinned to one core (see harness/peers.py);
# - varnishlog and varnishncsa do not run; the shared memory log is part of every Varnish;
# - 304, collapsing and keep-alive are its defaults.
vcl 4.1;

backend default {
    .host = "127.0.0.1";
    .port = "@APP@";
}

sub vcl_recv {
    if (req.method == "PURGE") {
        return (purge);
    }
}
