package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows/control"
)

// joinOthers announces this process to the others, so that its ring seals only with what all of them can open, until leave is called.
func joinOthers(e *env, store *postgres.DB, ring *secrets.Ring, kind provision.ProcessKind) (leave func(), err error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	self := provision.Process{ID: uuid.NewString(), Kind: kind, Host: host, PID: os.Getpid(), Version: buildVersion()}
	return ring.Join(e.ctx, store.Processes, self, e.log)
}

// buildVersion is the commit that the program was built from; empty when it is not known.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return ""
}

// keyStatuses reads what needs each key that has sealed something. Its other fields are for secrets.RotationOf.
func keyStatuses(ctx context.Context, store *postgres.DB, temporal *control.Temporal) (keys []secrets.KeyStatus, err error) {
	uses, err := store.SealKeys.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, use := range uses {
		k := secrets.KeyStatus{SealKeyUse: use}
		if use.LastUsedAt != nil {
			started, err := temporal.StartedBefore(ctx, use.LastUsedAt.Add(time.Minute)) // the last use is noted some seconds late
			if err != nil {
				return nil, err
			}
			k.OpenOrders = max(k.OpenOrders, started.OpenOrders) // some have no row yet, others were reset
			k.OpenWorkflows, k.LastClosedAt = started.OpenOthers, started.LastClosedAt
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// alarmMissingKeys logs an error for each key that this process lacks although something needs it. The process runs all the same: a
// rollback must be possible, and what it cannot open waits.
func alarmMissingKeys(ctx context.Context, e *env, store *postgres.DB, temporal *control.Temporal, ring *secrets.Ring) {
	asking, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	keys, err := keyStatuses(asking, store, temporal)
	if ctx.Err() != nil {
		return // the process stops
	}
	if err != nil {
		e.log.WarnContext(ctx, "it could not be checked whether this process lacks a key that is needed; `quartermaster keys status` tells", "error", err)
		return
	}
	for _, k := range keys {
		if needed := k.Needed(); needed != "" && !ring.Has(k.ID) {
			e.log.ErrorContext(ctx, "this process lacks a key that is still needed; what it sealed waits for a process that has the key: put it back, behind the first key of QM_SEAL_KEYS",
				"key", k.ID, "needed_by", needed)
		}
	}
}

type keysStatusCommand struct {
	databaseOptions
	JSON bool `help:"Print it as one JSON object."`
}

// Help explains the columns.
func (keysStatusCommand) Help() string {
	return "A new key is put in front of QM_SEAL_KEYS of every API and worker, one after the other. It seals as soon as all of them have it. The old key stays behind it until " +
		"nothing needs it: KNOWN BY counts the processes that have a key, SEALS IN those that seal with it now, NEEDED BY what it sealed. The last line says the next safe step."
}

// Run prints how far the rotation of the keys is.
func (c *keysStatusCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	client, temporal, err := dialTemporal(e, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	processes, err := store.Processes.List(e.ctx)
	if err != nil {
		return err
	}
	keys, err := keyStatuses(e.ctx, store, temporal)
	if err != nil {
		return err
	}
	retention, err := temporal.Retention(e.ctx)
	if err != nil {
		return err
	}
	rotation := secrets.RotationOf(processes, keys, retention, time.Now())
	if c.JSON {
		return writeJSON(e, rotation)
	}
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tKNOWN BY\tSEALS IN\tLAST USED\tNEEDED BY\tREMOVABLE AFTER")
	for _, k := range rotation.Keys {
		known := fmt.Sprintf("%d of %d", k.KnownBy, len(processes))
		if len(k.LackedBy) > 0 && k.KnownBy > 0 {
			known += ", not " + strings.Join(k.LackedBy, ", ")
		}
		fmt.Fprintf(table, "%s\t%s\t%d of %d\t%s\t%s\t%s\n", k.ID, known, len(k.SealsIn), len(processes), timeOr(k.LastUsedAt, "never"), orDash(k.Needed()), timeOr(k.RemovableAfter, "-"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, rotation.Next)
	return err
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type resealCommand struct {
	databaseOptions
	sealOptions
}

// Run seals passwords and webhook secrets again, with the key with which the running processes seal.
func (c *resealCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	ring, err := c.ring()
	if err != nil {
		return err
	}
	processes, err := store.Processes.List(e.ctx)
	if err != nil {
		return err
	}
	if !ring.Follow(secrets.KeysOf(processes)) {
		return errors.New("no key of QM_SEAL_KEYS is known to every running process: `quartermaster keys status` says who lacks what")
	}
	key := ring.ActiveID()
	n, err := store.SealKeys.Reseal(e.ctx, key, func(sealed []byte, purpose string) ([]byte, error) {
		text, err := ring.Open(sealed, purpose)
		if err != nil {
			return nil, err
		}
		return ring.Seal(text, purpose)
	})
	fmt.Fprintf(e.out, "%d passwords and webhook secrets are sealed with %s now\n", n, key)
	return err
}
