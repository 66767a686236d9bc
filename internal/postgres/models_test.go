package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

const sptm provision.Model = "SPTM"

func TestAModelThatWasCreatedWorksEverywhere(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	_, _, err := store.Accounts.Create(ctx, account(1, sptm), "test")
	require.ErrorIs(t, err, provision.ErrNotFound, "the model does not exist yet")

	created, err := store.Models.Create(ctx, provision.AccountModel{ID: sptm, Title: "Solution Provider Transfer Model", RootAccess: true}, "cli anna")
	require.NoError(t, err)
	require.Equal(t, "cli anna", created.CreatedBy)
	require.WithinDuration(t, time.Now(), created.CreatedAt, time.Minute)
	models, err := store.Models.List(ctx)
	require.NoError(t, err)
	require.Equal(t, []provision.Model{provision.ModelSPAM, provision.ModelECAM, sptm}, provision.ModelIDs(models))
	require.Equal(t, created, models[2])

	two := 2
	config, err := store.Pools.Update(ctx, "test", pool, 0, func(c *provision.PoolConfig) {
		c.ModelThresholds = map[provision.Model]int{sptm: two}
		c.Settings.Instructions = map[provision.Model]string{sptm: "Sign in as {root_email}."}
	})
	require.NoError(t, err)
	require.Equal(t, two, config.ModelThresholds[sptm])

	_, _, err = store.Accounts.Create(ctx, account(1, sptm), "test")
	require.NoError(t, err)
	claimed := claim(t, store, open(t, store, "o", sptm)).Account
	require.NotNil(t, claimed)
	require.Equal(t, sptm, claimed.Model)
	require.True(t, claimed.RootAccess)

	ended, faults := importRows(t, store, "000000000002,north,production,SPTM,account 2,root+2@acme.test,arn:aws:iam::000000000002:role/quartermaster\n")
	require.Empty(t, faults)
	require.Equal(t, 1, ended.Added)
}

func TestAModelIsCreatedOnceAndWithAReadableID(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	_, err := store.Models.Create(ctx, provision.AccountModel{ID: provision.ModelSPAM}, "test")
	require.ErrorIs(t, err, provision.ErrConflict)
	_, err = store.Models.Create(ctx, provision.AccountModel{ID: " SPTM"}, "test")
	var invalid *provision.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "id", invalid.Fields[0].Field)
}
