package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 20 * time.Second
	writeTimeout      = 30 * time.Second // longer than requestTimeout, so that a problem can still be written
	idleTimeout       = 2 * time.Minute
	shutdownTimeout   = 20 * time.Second // longer than requestTimeout: what was begun is finished
	maxHeaderBytes    = 16 << 10
)

// Run serves on the listener until the context ends, then finishes what was begun and returns nil. It returns an error
// when serving fails, or when requests are still running 20 seconds after the context ended.
func Run(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	stop := make(chan struct{}) // ends what would never be finished: the streams
	httpServer := &http.Server{
		Handler: handler,
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), stoppingKey{}, stop)
		},
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	httpServer.RegisterOnShutdown(func() { close(stop) })
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving HTTP on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := httpServer.Shutdown(stopping); err != nil {
		return errors.Join(fmt.Errorf("HTTP requests still ran %s after the stop: %w", shutdownTimeout, err), httpServer.Close())
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP on %s: %w", listener.Addr(), err)
	}
	return nil
}
