package pgtest

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	proxyChunk       = 32 << 10
	proxyDialTimeout = 5 * time.Second
)

// Proxy is a TCP proxy on a loopback port that makes the network in front of a server slow, silent or broken. It knows nothing
// about the protocol, so it serves PostgreSQL, Temporal and anything else. Its methods are safe for concurrent use.
type Proxy struct {
	upstream string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	open    chan struct{} // closed while data flows, replaced by Stall
	stalled bool
	delay   time.Duration
	conns   map[*proxied]struct{}
	closed  bool
}

// proxied is one client's connection.
type proxied struct {
	client net.Conn
	cut    context.Context
	end    context.CancelFunc
}

// NewProxy starts a proxy in front of upstream, a host:port.
func NewProxy(upstream string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // listening on loopback takes no time
	if err != nil {
		return nil, err
	}
	p := &Proxy{upstream: upstream, listener: listener, open: make(chan struct{}), conns: map[*proxied]struct{}{}}
	close(p.open)
	p.running.Go(p.accept)
	return p, nil
}

// Addr is the host:port on which the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Stall keeps every connection open and forwards nothing, until Resume. New connections are accepted and never answered.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stalled {
		p.stalled, p.open = true, make(chan struct{})
	}
}

// Resume ends a stall. What was sent during the stall arrives now.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled {
		p.stalled = false
		close(p.open)
	}
}

// Delay holds back every chunk of data, in each direction, for d; 0 ends that.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Cut closes all connections. New ones are served.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.end()
	}
}

// Close stops listening, closes all connections and waits until they are gone.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.Cut()
	p.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		c := &proxied{client: client}
		c.cut, c.end = context.WithCancel(context.Background())
		p.mu.Lock()
		if p.closed {
			c.end()
		}
		p.conns[c] = struct{}{}
		p.mu.Unlock()
		p.running.Go(func() { p.serve(c) })
	}
}

// serve forwards both directions until one side closes or the connection is cut.
func (p *Proxy) serve(c *proxied) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
	}()
	defer c.end()
	closeClient := context.AfterFunc(c.cut, func() { _ = c.client.Close() })
	defer func() {
		if closeClient() {
			_ = c.client.Close()
		}
	}()
	if !p.pass(c) {
		return
	}
	dialer := net.Dialer{Timeout: proxyDialTimeout}
	server, err := dialer.DialContext(c.cut, "tcp", p.upstream)
	if err != nil {
		return
	}
	closeServer := context.AfterFunc(c.cut, func() { _ = server.Close() })
	defer func() {
		if closeServer() {
			_ = server.Close()
		}
	}()
	var both sync.WaitGroup
	both.Go(func() { p.forward(c, server, c.client) })
	both.Go(func() { p.forward(c, c.client, server) })
	both.Wait()
}

// forward copies one direction. The end of the data is held back like the data.
func (p *Proxy) forward(c *proxied, to, from net.Conn) {
	defer c.end()
	chunk := make([]byte, proxyChunk)
	for {
		n, err := from.Read(chunk)
		if !p.pass(c) {
			return
		}
		if n > 0 {
			if _, err := to.Write(chunk[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits as long as the proxy holds data back. It returns false when the connection was cut.
func (p *Proxy) pass(c *proxied) bool {
	p.mu.Lock()
	delay := p.delay
	p.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.cut.Done():
			return false
		}
	}
	for {
		p.mu.Lock()
		open, stalled := p.open, p.stalled
		p.mu.Unlock()
		if !stalled {
			return c.cut.Err() == nil
		}
		select {
		case <-open:
		case <-c.cut.Done():
			return false
		}
	}
}
