package postgres_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

func filterNames(t *testing.T, store *postgres.DB, of provision.FilterOwner) (names []string) {
	t.Helper()
	found, err := store.SavedFilters.List(t.Context(), of)
	require.NoError(t, err)
	for _, f := range found {
		names = append(names, f.Name)
	}
	return names
}

func TestAFilterBelongsToTheCallerWhoSavedIt(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	mine := provision.FilterOwner{Provider: "acme", Caller: "key a"}
	for _, name := range []string{"stuck", "Baltic"} {
		_, err := store.SavedFilters.Save(ctx, mine, provision.SavedFilter{Name: name, Page: "orders", Query: "state=failed"})
		require.NoError(t, err)
	}
	require.ElementsMatch(t, []string{"Baltic", "stuck"}, filterNames(t, store, mine))
	saved, err := store.SavedFilters.Save(ctx, mine, provision.SavedFilter{Name: "stuck", Page: "accounts", Query: "status=ready"})
	require.NoError(t, err)
	require.Equal(t, []string{"accounts", "status=ready"}, []string{saved.Page, saved.Query})
	require.WithinDuration(t, time.Now(), saved.SavedAt, time.Minute)
	require.Len(t, filterNames(t, store, mine), 2, "it took the place of the first one")
	for _, other := range []provision.FilterOwner{{Provider: "acme", Caller: "key b"}, {Provider: "other", Caller: "key a"}} {
		require.Empty(t, filterNames(t, store, other))
		require.ErrorIs(t, store.SavedFilters.Delete(ctx, other, "stuck"), provision.ErrNotFound)
	}
	require.NoError(t, store.SavedFilters.Delete(ctx, mine, "stuck"))
	require.ErrorIs(t, store.SavedFilters.Delete(ctx, mine, "stuck"), provision.ErrNotFound)
	require.Equal(t, []string{"Baltic"}, filterNames(t, store, mine))
}

func TestACallerHasAtMostFiftyFilters(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	mine := provision.FilterOwner{Provider: "acme", Caller: "key a"}
	save := func(name string) error {
		_, err := store.SavedFilters.Save(ctx, mine, provision.SavedFilter{Name: name, Page: "orders", Query: "state=failed"})
		return err
	}
	var all sync.WaitGroup
	for i := range provision.MostSavedFilters + 5 {
		all.Go(func() { _ = save(fmt.Sprintf("f-%d", i)) })
	}
	all.Wait()
	names := filterNames(t, store, mine)
	require.Len(t, names, provision.MostSavedFilters)
	var full *provision.StateError
	require.ErrorAs(t, save("one more"), &full)
	require.Contains(t, full.Reason, "you have 50 saved filters")
	require.NoError(t, save(names[0]), "one that is there may be replaced")
	require.NoError(t, store.SavedFilters.Delete(ctx, mine, names[0]))
	require.NoError(t, save("one more"))
}

func TestTheSuccessorOfAKeyInheritsItsFilters(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	_, err := store.APIKeys.Create(ctx, "test", apiKey("old", provision.RoleViewer))
	require.NoError(t, err)
	before := provision.FilterOwner{Provider: "acme", Caller: "key old"}
	_, err = store.SavedFilters.Save(ctx, before, provision.SavedFilter{Name: "stuck", Page: "orders", Query: "state=failed"})
	require.NoError(t, err)
	_, _, err = store.APIKeys.Rotate(ctx, "test", "acme", "old", apiKey("new", provision.RoleViewer), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, []string{"stuck"}, filterNames(t, store, provision.FilterOwner{Provider: "acme", Caller: "key new"}))
	require.Equal(t, []string{"stuck"}, filterNames(t, store, before), "the old key works for a while")
}
