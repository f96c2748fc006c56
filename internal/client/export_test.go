package client

// CloseIdleConnections ends what all clients of the process share.
func CloseIdleConnections() { transport.CloseIdleConnections() }
