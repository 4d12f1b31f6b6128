"""A trained model behind HTTP and WebSocket: files, live streams, and a page that shows both."""
