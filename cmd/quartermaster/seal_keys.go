package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"quartermaster/internal/postgres"
	"quartermaster/internal/secrets"
)

type sealKeysCommand struct {
	Create createSealKeyCommand  `cmd:"" help:"Create a key for QM_SEAL_KEYS. It needs no database."`
	Status sealKeysStatusCommand `cmd:"" help:"Show the seal keys, which processes have them, what needs them, and the next safe step."`
	Reseal resealCommand         `cmd:"" help:"Seal passwords and webhook secrets again, so that they no longer need an older key."`
}

type createSealKeyCommand struct {
	ID string `arg:"" help:"Id of the key. Everything that the key seals carries it." default:"k1"`
}

// Run prints a new key.
func (c *createSealKeyCommand) Run(e *env) error {
	_, err := fmt.Fprintln(e.out, secrets.GenerateKey(c.ID))
	return err
}

type sealKeysStatusCommand struct {
	databaseOptions
	JSON bool `help:"Print one JSON object."`
}

// Help explains a rotation and the columns.
func (sealKeysStatusCommand) Help() string {
	return "To rotate, put a new key in front of QM_SEAL_KEYS of every API and worker, one after the other. " +
		"The new key seals as soon as all of them have it. Keep the old key behind it until nothing needs it. " +
		"KNOWN BY counts the processes that have a key, SEALS IN counts those that seal with it now, " +
		"and NEEDED BY lists what it sealed. The last line says the next safe step."
}

// Run prints how far the rotation of the keys is.
func (c *sealKeysStatusCommand) Run(e *env, db *postgres.DB) error {
	temporal, err := dialTemporal(e, nil)
	if err != nil {
		return err
	}
	processes, err := db.Processes.List(e.ctx)
	if err != nil {
		return err
	}
	keys, err := secrets.Statuses(e.ctx, db.SealKeys, temporal)
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
	rows := newTable(e.out, "KEY", "KNOWN BY", "SEALS IN", "LAST USED", "NEEDED BY", "REMOVABLE AFTER")
	for _, k := range rotation.Keys {
		known := fmt.Sprintf("%d of %d", k.KnownBy, len(processes))
		if len(k.LackedBy) > 0 && k.KnownBy > 0 {
			known += ", not " + strings.Join(k.LackedBy, ", ")
		}
		rows.row(k.ID, known, fmt.Sprintf("%d of %d", len(k.SealsIn), len(processes)),
			e.whenOr(k.LastUsedAt, "never"), cmp.Or(k.Needed(), "-"), e.whenOr(k.RemovableAfter, "-"))
	}
	if err := rows.flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, rotation.Next)
	return err
}

type resealCommand struct {
	databaseOptions
	sealOptions
}

// Run seals passwords and webhook secrets again, with the key that the running processes seal with.
func (c *resealCommand) Run(e *env, db *postgres.DB, ring *secrets.Ring) error {
	if err := followProcesses(e, db, ring); err != nil {
		return err
	}
	key := ring.ActiveID()
	n, err := db.SealKeys.Reseal(e.ctx, key, func(sealed []byte, purpose string) ([]byte, error) {
		text, err := ring.Open(sealed, purpose)
		if err != nil {
			return nil, err
		}
		return ring.Seal(text, purpose)
	})
	fmt.Fprintf(e.out, "%d passwords and webhook secrets are sealed with %s now\n", n, key)
	return err
}

// followProcesses makes the ring seal with a key that every running process can open.
func followProcesses(e *env, db *postgres.DB, ring *secrets.Ring) error {
	processes, err := db.Processes.List(e.ctx)
	if err != nil {
		return err
	}
	if !ring.Follow(secrets.KeysOf(processes)) {
		return errors.New("no key of QM_SEAL_KEYS is known to every running process: " +
			"`quartermaster seal-keys status` shows which process lacks which key")
	}
	return nil
}
