"""The scenes in which Pannier is compared with its peers and with the bare limits."""

from .hits import (
    connections_1,
    connections_10000,
    http2,
    memory_1k,
    memory_10k,
    memory_100k,
    not_modified,
    redis_1k,
    zipf,
)
from .misses import cold_key, miss, miss_redis, stream
from .threading import THREADING
from .writes import purge, staleness, users

SCENES = {
    "memory-1k": memory_1k,
    "memory-10k": memory_10k,
    "memory-100k": memory_100k,
    "zipf": zipf,
    "not-modified": not_modified,
    "redis-1k": redis_1k,
    "miss": miss,
    "miss-redis": miss_redis,
    "cold-key": cold_key,
    "http2": http2,
    "connections-1": connections_1,
    "connections-10000": connections_10000,
    "purge": purge,
    "users": users,
    "staleness": staleness,
    "stream": stream,
    **THREADING,
}
