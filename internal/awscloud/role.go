package awscloud

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// assumeRole is the STS operation that opens a session in an account.
const assumeRole = "AssumeRole"

// roleCredentials are the credentials of one session. They are renewed before they expire, and after AWS has rejected them as
// expired.
type roleCredentials struct {
	assume func(context.Context) (aws.Credentials, error)
	within time.Duration // how long a renewal may take
	single *single

	mu      sync.Mutex
	current aws.Credentials
}

func newRoleCredentials(within time.Duration, assume func(context.Context) (aws.Credentials, error)) *roleCredentials {
	return &roleCredentials{assume: assume, within: within, single: newSingle()}
}

// Retrieve returns the current credentials, or new ones when those expire soon. Its error is a *credentialsError: AssumeRole has its
// own retries, so a call that needed the credentials must not be repeated because of it.
func (c *roleCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if valid, ok := c.valid(); ok {
		return valid, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()
	var got aws.Credentials
	err := c.single.do(ctx, func(ctx context.Context) (err error) {
		var ok bool
		if got, ok = c.valid(); ok { // another call has renewed them
			return nil
		}
		if got, err = c.assume(ctx); err == nil {
			c.set(got)
		}
		return err
	})
	if err != nil {
		return aws.Credentials{}, &credentialsError{err}
	}
	return got, nil
}

// valid returns the current credentials, and whether they are still valid for a while.
func (c *roleCredentials) valid() (creds aws.Credentials, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current, time.Until(c.current.Expires) > sessionMargin
}

func (c *roleCredentials) set(creds aws.Credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = creds
}

// Invalidate discards the credentials.
func (c *roleCredentials) Invalidate() { c.set(aws.Credentials{}) }

// credentialsError reports that a call was not sent because the role could not be assumed.
type credentialsError struct{ error }

func (e *credentialsError) Unwrap() error { return e.error }

// assume assumes a role and returns its credentials and the region whose STS issued them. An account can deactivate STS in every
// region except us-east-1, so assume asks there when the nearest region refuses.
// Source: AWS STS API Reference, AssumeRole, RegionDisabledException.
func (c *Cloud) assume(ctx context.Context, in *sts.AssumeRoleInput) (creds aws.Credentials, region string, err error) {
	client, region := c.sts, c.callerRegion()
	out, err := client.AssumeRole(ctx, in)
	if IsRegionDisabled(err) && region != HomeRegion {
		client, region = c.stsHome, HomeRegion
		out, err = client.AssumeRole(ctx, in)
	}
	if err != nil {
		return creds, region, err
	}
	if out.Credentials == nil {
		return creds, region, &smithy.OperationError{ServiceID: sts.ServiceID, OperationName: assumeRole,
			Err: &smithy.DeserializationError{Err: errors.New("the response has no credentials")}}
	}
	return aws.Credentials{
		AccessKeyID: aws.ToString(out.Credentials.AccessKeyId), SecretAccessKey: aws.ToString(out.Credentials.SecretAccessKey),
		SessionToken: aws.ToString(
			out.Credentials.SessionToken,
		), CanExpire: true, Expires: aws.ToTime(out.Credentials.Expiration), Source: assumeRole,
	}, region, nil
}
