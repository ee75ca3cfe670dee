"""The local agent: browsers and programs in any language sell through it, over HTTP and WebSockets on this machine."""
