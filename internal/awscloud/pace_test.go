package awscloud_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/account"
	accounttypes "github.com/aws/aws-sdk-go-v2/service/account/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// The limits of this test do not refill: a call that waited for another account would never be sent.
func TestAHundredAccountsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	const accounts, burst = 100, 5
	sim := awssim.New(awssim.Options{Seed: 1, RateLimits: true})
	seed := awssim.Seed{Callers: []awssim.Caller{{AccessKeyID: keyID, SecretAccessKey: "not-a-secret", ARN: principalARN}}}
	for i := range accounts {
		id := fmt.Sprintf("%012d", 200000000000+i)
		seed.Accounts = append(seed.Accounts, awssim.Account{ID: id, Email: id + "@example.com",
			Role: awssim.Role{Name: "quartermaster", ExternalID: externalID, TrustedPrincipal: principalARN}})
	}
	require.NoError(t, sim.Load(seed))
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	once := awscloud.Limit{PerSecond: 1e-9, Burst: burst}
	cloud, err := awscloud.New(awscloud.Options{
		Config:   aws.Config{Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider(keyID, "not-a-secret", "")},
		Endpoint: server.URL, Limits: awscloud.Limits{IAM: once, Account: map[string]awscloud.Limit{"GetAlternateContact": once}},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, a := range seed.Accounts {
		s, err := cloud.OpenSession(ctx, provision.Account{ID: a.ID, RoleARN: "arn:aws:iam::" + a.ID + ":role/quartermaster",
			ExternalID: externalID}, "order-"+a.ID)
		require.NoError(t, err)
		for range burst {
			wg.Go(func() {
				_, err := s.IAM.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{})
				require.NoError(t, err)
			})
			wg.Go(func() {
				_, err := s.Account.GetAlternateContact(ctx, &account.GetAlternateContactInput{
					AlternateContactType: accounttypes.AlternateContactTypeBilling})
				require.True(t, awscloud.IsNotFound(err), "%v", err)
			})
		}
		wg.Go(func() { // another operation has its own limit
			_, err := s.Account.GetAccountInformation(ctx, &account.GetAccountInformationInput{})
			require.NoError(t, err)
		})
	}
	wg.Wait()
	for _, r := range sim.Requests() {
		require.NotContains(t, r.Decision, "TooManyRequests", r.Operation)
	}
	s, err := cloud.OpenSession(ctx, provision.Account{ID: "200000000000", RoleARN: "arn:aws:iam::200000000000:role/quartermaster",
		ExternalID: externalID}, "another order")
	require.NoError(t, err)
	_, err = s.IAM.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{})
	require.ErrorIs(t, err, awscloud.ErrPaced, "all sessions of an account share its limit")
}
