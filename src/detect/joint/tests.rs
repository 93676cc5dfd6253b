//! Relations on rows made here.
