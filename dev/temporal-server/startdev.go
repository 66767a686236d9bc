package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	uiversion "github.com/temporalio/ui-server/v2/server/version"
	"go.temporal.io/server/common/headers"
	"go.temporal.io/server/temporal"
)

// stopTimeout bounds a clean stop. The server itself would give each of its services five minutes.
const stopTimeout = 8 * time.Second

// startDev holds the arguments of `server start-dev`.
type startDev struct {
	IP          string `name:"ip" default:"localhost" placeholder:"ADDRESS" help:"IP address that the frontend listens on."`
	Port        int    `short:"p" default:"7233" help:"Port of the frontend's gRPC."`
	HTTPPort    int    `name:"http-port" help:"Port of the frontend's HTTP API; 0 = none."`
	MetricsPort int    `help:"Port of /metrics; 0 = none."`

	Headless        bool   `help:"Do not serve the Web UI."`
	UIIP            string `name:"ui-ip" placeholder:"ADDRESS" help:"IP address that the Web UI listens on; default: that of --ip."`
	UIPort          int    `name:"ui-port" help:"Port of the Web UI; 0 = --port + 1000."`
	UIPublicPath    string `name:"ui-public-path" placeholder:"PATH" help:"Path under which the Web UI is served."`
	UICodecEndpoint string `name:"ui-codec-endpoint" placeholder:"URL" help:"Codec server by which the Web UI opens sealed payloads."`

	DBFilename   string   `name:"db-filename" short:"f" xor:"store" placeholder:"FILE" help:"SQLite file; default: in memory."`
	SQLitePragma []string `name:"sqlite-pragma" sep:"none" placeholder:"NAME=VALUE" help:"${sqlite_pragma_help}"`

	Postgres string `env:"TEMPORAL_POSTGRES_URL" xor:"store" placeholder:"URL" help:"Keep everything in this PostgreSQL server."`

	Namespace          []string `short:"n" sep:"none" help:"Namespace to create; repeatable. \"default\" is always there."`
	SearchAttribute    []string `sep:"none" placeholder:"NAME=TYPE" help:"${search_attribute_help}"`
	DynamicConfigValue []string `sep:"none" placeholder:"KEY=JSON" help:"Dynamic configuration; repeatable. Overrides the defaults."`

	LogLevel  string `default:"warn" enum:"debug,info,warn,error,never" help:"Least level that is logged: ${enum}."`
	LogFormat string `default:"text" enum:"text,json,pretty" help:"Format of the log: ${enum}."`
}

// Run serves until ctx ends, then stops the Web UI and the server. Kong calls it.
func (c *startDev) Run(ctx context.Context) error {
	if err := c.complete(); err != nil {
		return err
	}
	dynamic, err := parseDynamicConfig(c.DynamicConfigValue, c.Postgres != "")
	if err != nil {
		return err
	}
	attributes, err := parseSearchAttributes(c.SearchAttribute)
	if err != nil {
		return err
	}
	// A signal during the start takes effect after it, at the end of this function; it does not make a step fail.
	start := context.WithoutCancel(ctx)
	if err := c.checkPorts(start); err != nil {
		return err
	}
	store, err := c.openStore(start)
	if err != nil {
		return err
	}
	defer store.close()
	if err := store.createNamespaces(start, c.Namespace, attributes); err != nil {
		return err
	}
	options, err := c.serverOptions(start, store, dynamic)
	if err != nil {
		return err
	}
	server, err := temporal.NewServer(options...)
	if err != nil {
		return fmt.Errorf("cannot build the Temporal server: %w", err)
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("cannot start the Temporal server: %w", err)
	}
	stops := []func() error{server.Stop}
	if !c.Headless {
		ui := c.webUI()
		// Start blocks until Stop and ends the process by itself when it cannot listen.
		go func() { _ = ui.Start() }()
		stops = append(stops, func() error { ui.Stop(); return nil })
	}
	c.announce()

	<-ctx.Done()
	fmt.Println("Stopping …")
	return stopAll(stops)
}

func (c *startDev) openStore(ctx context.Context) (*store, error) {
	if c.Postgres != "" {
		return openPostgres(ctx, c.Postgres)
	}
	return openSQLite(ctx, c.DBFilename, c.SQLitePragma)
}

// complete fills in what depends on other arguments and refuses addresses that the server could not take.
func (c *startDev) complete() error {
	c.IP = numeric(c.IP)
	if c.UIIP == "" {
		c.UIIP = c.IP
	}
	c.UIIP = numeric(c.UIIP)
	for _, address := range []struct{ flag, value string }{{"--ip", c.IP}, {"--ui-ip", c.UIIP}} {
		if net.ParseIP(address.value) == nil {
			return fmt.Errorf("%s %q is not an IP address: give one such as 127.0.0.1", address.flag, address.value)
		}
	}
	if c.UIPort == 0 {
		c.UIPort = min(c.Port+1000, 65535)
	}
	names := []string{"default"}
	for _, name := range c.Namespace {
		if name == "" {
			return errors.New(`--namespace "" is empty: give the namespace a name`)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	c.Namespace = names
	return nil
}

// numeric replaces the one host name that people type by its address; Temporal wants addresses.
func numeric(host string) string {
	if host == "localhost" {
		return "127.0.0.1"
	}
	return host
}

// checkPorts refuses a port that something else listens on. The services would find out too, but by ending the process
// with a stack trace.
func (c *startDev) checkPorts(ctx context.Context) error {
	type use struct {
		what, flag, ip string
		port           int
	}
	uses := []use{{"gRPC", "--port", c.IP, c.Port}}
	if c.HTTPPort != 0 {
		uses = append(uses, use{"the HTTP API", "--http-port", c.IP, c.HTTPPort})
	}
	if c.MetricsPort != 0 {
		uses = append(uses, use{"/metrics", "--metrics-port", c.IP, c.MetricsPort})
	}
	if !c.Headless {
		uses = append(uses, use{"the Web UI", "--ui-port", c.UIIP, c.UIPort})
	}
	taken := map[int]string{}
	for _, u := range uses {
		if u.port < 1 || u.port > 65535 {
			return fmt.Errorf("%s %d is not a port: give a number from 1 to 65535", u.flag, u.port)
		}
		if other, ok := taken[u.port]; ok {
			return fmt.Errorf("%s %d is also the port of %s: choose another", u.flag, u.port, other)
		}
		taken[u.port] = u.flag
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(u.ip, strconv.Itoa(u.port)))
		if err != nil {
			return fmt.Errorf("cannot serve %s on port %d (%w): stop what listens there, or choose another port with %s",
				u.what, u.port, err, u.flag)
		}
		if err := listener.Close(); err != nil {
			return fmt.Errorf("cannot give back port %d: %w", u.port, err)
		}
	}
	return nil
}

// announce says where everything is, once it is there.
func (c *startDev) announce() {
	fmt.Printf("Temporal Server %s, UI %s\n", headers.ServerVersion, uiversion.UIVersion)
	fmt.Printf("%-8s %s\n", "Server:", net.JoinHostPort(c.IP, strconv.Itoa(c.Port)))
	if c.HTTPPort != 0 {
		fmt.Printf("%-8s http://%s\n", "HTTP:", net.JoinHostPort(c.IP, strconv.Itoa(c.HTTPPort)))
	}
	if !c.Headless {
		fmt.Printf("%-8s http://%s%s\n", "UI:", net.JoinHostPort(c.UIIP, strconv.Itoa(c.UIPort)), c.UIPublicPath)
	}
	if c.MetricsPort != 0 {
		fmt.Printf("%-8s http://%s/metrics\n", "Metrics:", net.JoinHostPort(c.IP, strconv.Itoa(c.MetricsPort)))
	}
}

// stopAll runs the stops newest first, and gives up on them after stopTimeout.
func stopAll(stops []func() error) error {
	done := make(chan error, 1)
	go func() {
		var errs []error
		for _, stop := range slices.Backward(stops) {
			errs = append(errs, stop())
		}
		done <- errors.Join(errs...)
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("stopped, with an error: %w", err)
		}
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("the server did not stop within %s and was cut off; its database is consistent all the same",
			stopTimeout)
	}
}
