package redisconn

// WithMaxCalls bounds the goroutines of Call.
func (c *Client) WithMaxCalls(n int) *Client {
	c.calls = make(chan struct{}, n)
	return c
}
