package pgtest

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy is a TCP proxy on a loopback port that makes the network in front of a server slow, silent or broken. It knows
// nothing about the protocol, so it also serves Temporal. Its methods are safe for concurrent use.
type Proxy struct {
	upstream string
	listener net.Listener
	running  sync.WaitGroup
	delay    atomic.Int64
	stalled  atomic.Bool
	gate     sync.RWMutex // locked while stalled

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// NewProxy starts a proxy in front of upstream, a host:port.
func NewProxy(upstream string) (*Proxy, error) {
	listener, err := net.Listen("tcp", loopback+":0") //nolint:noctx // listening on loopback takes no time
	if err != nil {
		return nil, err
	}
	p := &Proxy{upstream: upstream, listener: listener, conns: map[net.Conn]struct{}{}}
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns the host:port on which the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Stall keeps every connection open and forwards nothing until Resume. New connections are accepted and never answered.
func (p *Proxy) Stall() {
	if p.stalled.CompareAndSwap(false, true) {
		p.gate.Lock()
	}
}

// Resume ends a stall. What was sent during the stall arrives now.
func (p *Proxy) Resume() {
	if p.stalled.CompareAndSwap(true, false) {
		p.gate.Unlock()
	}
}

// Delay holds back every chunk of data for d, in each direction. Zero ends the delay.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Cut closes all connections and serves new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

// Close stops listening, closes all connections and waits until they are gone.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.Cut()
	p.Resume()
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
		p.track(client)
		p.running.Go(func() { p.serve(client) })
	}
}

// serve connects the client with the upstream and forwards both directions until one side closes or the proxy cuts them.
func (p *Proxy) serve(client net.Conn) {
	p.pass()
	server, err := net.DialTimeout("tcp", p.upstream, 5*time.Second) //nolint:noctx // bounded
	if err != nil {
		p.drop(client)
		return
	}
	p.track(server)
	p.running.Go(func() { p.forward(client, server) })
	p.forward(server, client)
}

// forward copies one direction. It holds back the end of the data like the data.
func (p *Proxy) forward(to, from net.Conn) {
	defer p.drop(to, from)
	chunk := make([]byte, 32<<10)
	for {
		n, readErr := from.Read(chunk)
		p.pass()
		_, writeErr := to.Write(chunk[:n])
		if readErr != nil || writeErr != nil {
			return
		}
	}
}

// pass returns when the delay is over and the proxy is not stalled.
func (p *Proxy) pass() {
	<-time.After(time.Duration(p.delay.Load()))
	p.gate.RLock()
	p.gate.RUnlock() //nolint:staticcheck,gocritic // it only waits, and protects nothing
}

func (p *Proxy) track(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[conn] = struct{}{}
	if p.closed {
		_ = conn.Close()
	}
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
		_ = conn.Close()
	}
}
