//! From a native T1-weighted volume to the network input.
