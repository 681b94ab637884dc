//! Video classification networks on Burn: frozen trunk and trained head.
