package audit

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"quartermaster/internal/provision"
)

// ExpectedUser says that an order's IAM user must be in an account, or must not be there any more.
type ExpectedUser struct {
	Account provision.Account
	Order   provision.OrderKey
	Nonce   string   // tags what the order made
	Names   []string // that the user may have: the order may have been corrected
	Present bool
}

// UserStore is what FindUsers needs of the database.
type UserStore interface {
	// ExpectedUsers lists by account and order, after the given ones.
	ExpectedUsers(ctx context.Context, afterAccount, afterOrder string, limit int) ([]ExpectedUser, error)
}

// Cloud is what FindUsers needs of AWS. It only reads.
type Cloud interface {
	// HasUser tells whether the account has an IAM user of that name which the order made. The problem says in words without
	// personal data why AWS did not let us look; an error ends the whole check.
	HasUser(ctx context.Context, account provision.Account, name string, order provision.OrderKey, nonce string) (has bool, problem string, err error)
}

const (
	usersPage   = 200
	usersAtOnce = 8 // accounts looked at in parallel; each has AWS's limits of its own
)

// FindUsers compares the accounts that are the customers', and those that are Ready again after an order, with AWS.
func FindUsers(ctx context.Context, store UserStore, cloud Cloud) (found []Finding, err error) {
	var account, order string
	for {
		page, err := store.ExpectedUsers(ctx, account, order, usersPage)
		if err != nil {
			return found, err
		}
		results := make([][]Finding, len(page))
		looking, ctx := errgroup.WithContext(ctx)
		looking.SetLimit(usersAtOnce)
		var unreadable sync.Map // accounts; one finding for each is enough
		for i, expected := range page {
			looking.Go(func() (err error) {
				results[i], err = compareUser(ctx, cloud, expected, &unreadable)
				return err
			})
		}
		err = looking.Wait()
		for _, some := range results {
			found = append(found, some...)
		}
		if err != nil || len(page) < usersPage {
			return found, err
		}
		last := page[len(page)-1]
		account, order = last.Account.ID, last.Order.ID
	}
}

func compareUser(ctx context.Context, cloud Cloud, expected ExpectedUser, unreadable *sync.Map) ([]Finding, error) {
	a := expected.Account
	there := false
	for _, name := range expected.Names {
		has, problem, err := cloud.HasUser(ctx, a, name, expected.Order, expected.Nonce)
		if err != nil {
			return nil, err
		}
		if problem != "" {
			if _, known := unreadable.LoadOrStore(a.ID, true); known {
				return nil, nil
			}
			return []Finding{New(KindAccountUnreadable, expected.Order, a.ID, a.StatusSince, problem)}, nil
		}
		there = there || has
	}
	switch {
	case expected.Present && !there:
		return []Finding{New(KindUserMissing, expected.Order, a.ID, a.StatusSince, "the account is Allocated, but AWS shows no IAM user with the tags of its order")}, nil
	case !expected.Present && there:
		return []Finding{New(KindUserLeft, expected.Order, a.ID, a.StatusSince,
			fmt.Sprintf("the account is %s, but the IAM user of an earlier order is still in it", a.Status.Label()))}, nil
	}
	return nil, nil
}
