// Command dev runs the whole product on this machine. `dev up` starts it for development; `dev demo` provisions two orders while you
// watch.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	measure "quartermaster/dev/bench"
	"quartermaster/dev/stack"
)

const (
	perPoolAndModel = 3                      // 2 pools × 2 models × 3 = 12 accounts
	hiddenFor       = 200 * time.Millisecond // delay until reads of the simulated AWS see a write
)

type options struct {
	DatabaseURL     string `help:"Use this PostgreSQL instead of starting one." env:"DATABASE_URL" placeholder:"URL"`
	TemporalAddress string `help:"Use this Temporal instead of starting one." env:"TEMPORAL_ADDRESS" placeholder:"HOST:PORT"`
	CI              bool   `name:"ci" help:"Do not stay up after the demo." env:"CI"`
}

type cli struct {
	options
	Up   struct{} `cmd:"" help:"Start everything and stay up until Ctrl-C."`
	Demo struct{} `cmd:"" help:"Start everything, place two orders and follow them."`

	Histories struct {
		Folder string `arg:"" help:"Folder of the histories." default:"../workflows/testdata/histories" type:"path"`
	} `cmd:"" help:"Record the missing workflow histories of the replay tests."`

	Bench bench `cmd:"" help:"Measure the product next to its limits, and print a table."`

	BareWorker struct {
		Address string `arg:""`
	} `cmd:"" hidden:"" help:"Run the worker of Bare8."`

	Screenshots struct {
		Folder string `arg:"" help:"Folder of the pictures." default:"../docs/images" type:"path"`
	} `cmd:"" help:"Take pictures of orders in Temporal's Web UI, for the documents. Needs Chromium."`
}

func main() {
	var c cli
	command := kong.Parse(&c, kong.Name("dev"), kong.Description("Runs the whole product on this machine."))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	var err error
	switch command.Command() {
	case "up":
		err = run(ctx, c.options, false)
	case "demo":
		err = run(ctx, c.options, true)
	case "bench":
		err = c.Bench.run(ctx)
	case "bare-worker <address>":
		err = measure.BareWorker(ctx, c.BareWorker.Address)
	case "screenshots <folder>", "screenshots":
		err = playground(ctx, func(p *stack.Playground) error { return p.Screenshots(ctx, c.Screenshots.Folder) })
	default:
		err = playground(ctx, func(p *stack.Playground) error { return record(ctx, p, c.Histories.Folder) })
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dev:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, demo bool) (err error) {
	fmt.Println("Starting Quartermaster on this machine. AWS is simulated: no account is real, nothing leaves this machine.")
	s, err := stack.Start(ctx, stack.Options{
		Progress: os.Stdout, DatabaseURL: o.DatabaseURL, TemporalURL: o.TemporalAddress, KnownPorts: true, Delay: hiddenFor,
	})
	if err != nil {
		return err
	}
	defer func() {
		fmt.Println("\nStopping…")
		err = errors.Join(err, s.Stop())
		if err == nil {
			fmt.Println("Everything is stopped; nothing is left running.")
		}
	}()
	client, err := s.Seed(ctx, perPoolAndModel)
	if err != nil {
		return err
	}
	link, err := s.ConsoleLink(ctx, client)
	if err != nil {
		return err
	}
	printPlaces(s, client, link)
	if demo {
		if err := runDemo(ctx, s, client); err != nil || o.CI {
			return err
		}
	}
	fmt.Println("\nUp until Ctrl-C.")
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.Failed():
		return err
	}
}

// playground starts a stack, calls do and stops the stack.
func playground(ctx context.Context, do func(*stack.Playground) error) (err error) {
	s, err := stack.Start(ctx, stack.Options{Progress: os.Stdout, Delay: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	p, err := stack.NewPlayground(ctx, s)
	if err != nil {
		return err
	}
	return do(p)
}

// record records the missing histories.
func record(ctx context.Context, p *stack.Playground, folder string) error {
	recorded, err := p.Record(ctx, folder)
	for _, name := range recorded {
		fmt.Println("recorded", name)
	}
	if err == nil && len(recorded) == 0 {
		fmt.Println("all histories exist")
	}
	return err
}

func printPlaces(s *stack.Stack, client *stack.Client, link string) {
	webUI := s.WebUI
	if webUI == "" {
		webUI = "(that of your Temporal server)"
	}
	fmt.Printf(`
  console        %[8]s
                 (signs you in once; later, paste the API key)
  API            %[1]s          reference: %[1]s/docs
  Web UI         %[2]s
  simulated AWS  %[3]s/_sim/accounts
  PostgreSQL     %[4]s
  logs           %[5]s
  API key        %[6]s

Try it:
  curl -s %[1]s/v1/accounts -H 'Authorization: Bearer %[6]s'
  curl -s %[1]s/v1/orders -H 'Authorization: Bearer %[6]s' -H 'Content-Type: application/json' -d '{
    "id":"my-1","marketplace":"%[7]s","environment":"production","order_mode":"new_account",
    "iam_user_name":"customer","aws_contact_name":"Jane Roe","aws_account_alias":"my-first-alias"}'
  curl -s %[1]s/v1/orders/my-1 -H 'Authorization: Bearer %[6]s'
`, s.API, webUI, s.AWSAdmin, s.Database, s.Dir, client.Key, stack.NewReports, link)
}
