package pgtest

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echoServer answers every byte with the same byte.
func echoServer(t *testing.T) string {
	t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func startProxy(t *testing.T) *Proxy {
	t.Helper()
	proxy, err := NewProxy(echoServer(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	return proxy
}

func dial(t *testing.T, proxy *Proxy) net.Conn {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", proxy.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// answers returns an error when no answer to one byte arrives in time.
func answers(conn net.Conn, limit time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{'x'}); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

func TestStalledProxyIsSilentAndForwardsTheRestAfterwards(t *testing.T) {
	t.Parallel()
	proxy := startProxy(t)
	conn := dial(t, proxy)
	require.NoError(t, answers(conn, 10*time.Second))

	proxy.Stall()
	fresh := dial(t, proxy) // accepted
	for _, silent := range []net.Conn{conn, fresh} {
		var timeout net.Error
		require.ErrorAs(t, answers(silent, 50*time.Millisecond), &timeout)
		require.True(t, timeout.Timeout(), "the connection is open and silent")
	}
	proxy.Resume()
	for _, late := range []net.Conn{conn, fresh} {
		require.NoError(t, late.SetDeadline(time.Now().Add(10*time.Second)))
		_, err := io.ReadFull(late, make([]byte, 1))
		require.NoError(t, err, "what was sent during the stall arrives")
		require.NoError(t, answers(late, 10*time.Second))
	}
}

func TestDelayedProxyHoldsBackEveryChunk(t *testing.T) {
	t.Parallel()
	proxy := startProxy(t)
	conn := dial(t, proxy)
	proxy.Delay(40 * time.Millisecond)
	began := time.Now()
	require.NoError(t, answers(conn, 10*time.Second))
	require.GreaterOrEqual(t, time.Since(began), 80*time.Millisecond, "the delay applies in both directions")
}

func TestCutProxyClosesItsConnectionsAndServesNewOnes(t *testing.T) {
	t.Parallel()
	proxy := startProxy(t)
	conn := dial(t, proxy)
	require.NoError(t, answers(conn, 10*time.Second))
	proxy.Stall()
	proxy.Cut()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	proxy.Resume()
	require.NoError(t, answers(dial(t, proxy), 10*time.Second))

	require.NoError(t, proxy.Close())
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = dialer.DialContext(ctx, "tcp", proxy.Addr())
	require.Error(t, err)
}
