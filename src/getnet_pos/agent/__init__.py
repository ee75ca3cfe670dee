"""The local agent: web pages and programs in any language sell through it, over HTTP and WebSockets."""
