package awssim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	s3Namespace      = "http://s3.amazonaws.com/doc/2006-03-01/"
	maxBucketTags    = 50
	maxBucketsAPage  = 10_000
	maxBucketPolicy  = 20 * 1024
	bucketNameDenied = "The specified bucket is not valid."
)

var bucketOperations = []operation{
	{service: "s3", name: "ListBuckets", needs: s3Needs("s3:ListAllMyBuckets"), do: listBuckets},
	{service: "s3", name: "CreateBucket", mutates: true, needs: needsCreateBucket, do: createBucket},
	{service: "s3", name: "HeadBucket", needs: s3Needs("s3:ListBucket"), do: headBucket},
	{service: "s3", name: "DeleteBucket", mutates: true, needs: s3Needs("s3:DeleteBucket"), do: deleteBucket},
	{service: "s3", name: "GetBucketLocation", needs: s3Needs("s3:GetBucketLocation"), do: getBucketLocation},
	{service: "s3", name: "GetBucketTagging", needs: s3Needs("s3:GetBucketTagging"), do: getBucketTagging},
	{service: "s3", name: "PutBucketTagging", mutates: true, checksum: true, needs: s3Needs("s3:PutBucketTagging"), do: putBucketTagging},
	{service: "s3", name: "DeleteBucketTagging", mutates: true, needs: s3Needs("s3:PutBucketTagging"), do: deleteBucketTagging},
	{service: "s3", name: "GetBucketPolicy", needs: s3Needs("s3:GetBucketPolicy"), do: getBucketPolicy},
	{service: "s3", name: "PutBucketPolicy", mutates: true, checksum: true, needs: s3Needs("s3:PutBucketPolicy"), do: putBucketPolicy},
	{service: "s3", name: "DeleteBucketPolicy", mutates: true, needs: s3Needs("s3:DeleteBucketPolicy"), do: deleteBucketPolicy},
	{service: "s3", name: "GetPublicAccessBlock", needs: s3Needs("s3:GetBucketPublicAccessBlock"), do: getPublicAccessBlock},
	{service: "s3", name: "PutPublicAccessBlock", mutates: true, checksum: true, needs: s3Needs("s3:PutBucketPublicAccessBlock"),
		do: putPublicAccessBlock},
	{service: "s3", name: "DeletePublicAccessBlock", mutates: true, needs: s3Needs("s3:PutBucketPublicAccessBlock"),
		do: deletePublicAccessBlock},
	{service: "s3", name: "ListObjectsV2", needs: s3Needs("s3:ListBucket"), do: listObjects},
	{service: "s3", name: "ListObjectVersions", needs: s3Needs("s3:ListBucketVersions"), do: listObjectVersions},
	{service: "s3", name: "DeleteObject", mutates: true, needs: needsDeleteObject, do: deleteObject},
	// The permission is checked for each key during the deletion: a refused key does not prevent the others.
	{service: "s3", name: "DeleteObjects", mutates: true, checksum: true, needs: func(*call) []question { return nil }, do: deleteObjects},
}

// s3Needs returns the permission on the bucket or object that the request addresses.
func s3Needs(action string) func(*call) []question {
	return func(c *call) []question {
		resource := "arn:aws:s3:::" + c.s3.bucket
		if c.s3.key != "" {
			resource += "/" + c.s3.key
		}
		if c.s3.bucket == "" {
			resource = "*"
		}
		return []question{{action: action, resource: resource}}
	}
}

// createConfiguration is the body of CreateBucket.
type createConfiguration struct {
	LocationConstraint string `xml:"LocationConstraint"`
	Tags               []tag  `xml:"Tags>Tag"`
}

func (c *call) createConfiguration() (createConfiguration, *apiError) {
	var in createConfiguration
	if len(c.body) > 0 {
		if err := xml.Unmarshal(c.body, &in); err != nil {
			return in, malformedXML()
		}
	}
	return in, nil
}

func needsCreateBucket(c *call) []question {
	in, _ := c.createConfiguration() // createBucket refuses a body that is not XML
	resource, context := "arn:aws:s3:::"+c.s3.bucket, requestTags(in.Tags)
	ownership := c.http.Header.Get(ownershipHeader)
	if ownership != "" {
		context["s3:x-amz-object-ownership"] = []string{ownership}
	}
	needs := []question{{action: "s3:CreateBucket", resource: resource, context: context}}
	if ownership != "" {
		needs = append(needs, question{action: "s3:PutBucketOwnershipControls", resource: resource, context: context})
	}
	if len(in.Tags) > 0 {
		needs = append(needs, question{action: "s3:TagResource", resource: resource, context: context})
	}
	return needs
}

// ownershipHeader is CreateBucket's header for who owns the objects of the bucket.
const ownershipHeader = "X-Amz-Object-Ownership"

// objectOwnerships are the values of that header. The first one is the default.
var objectOwnerships = []string{"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"}

// DemandBucketOwnerEnforced is an Account.OrganizationPolicy that denies CreateBucket unless the request sets the object ownership to
// BucketOwnerEnforced.
const DemandBucketOwnerEnforced = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
	{"Effect":"Deny","Action":"s3:CreateBucket","Resource":"*",
	"Condition":{"StringNotEquals":{"s3:x-amz-object-ownership":"BucketOwnerEnforced"}}}]}`

func malformedXML() *apiError {
	return refuse(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against "+
		"our published schema")
}

var (
	bucketPattern  = regexp.MustCompile(`\A[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\z`)
	addressPattern = regexp.MustCompile(`\A\d+\.\d+\.\d+\.\d+\z`)
)

// validBucketName checks S3's naming rules for general purpose buckets.
func validBucketName(name string) bool {
	return bucketPattern.MatchString(name) && !addressPattern.MatchString(name) && !strings.Contains(name, "..") &&
		!strings.HasPrefix(name, "xn--") && !strings.HasSuffix(name, "-s3alias")
}

// createBucket creates a bucket. If it exists, the answer is 200 to its owner in us-east-1, and a conflict otherwise.
func createBucket(c *call) (any, *apiError) {
	in, refused := c.createConfiguration()
	if refused != nil {
		return nil, refused
	}
	name := c.s3.bucket
	if !validBucketName(name) {
		return nil, refuse(http.StatusBadRequest, "InvalidBucketName", bucketNameDenied)
	}
	region := in.LocationConstraint
	if region == "EU" {
		region = "eu-west-1" // the region's old name, EU
	}
	if region == homeRegion || region != "" && !knownRegion(region) {
		return nil, refuse(http.StatusBadRequest, "InvalidLocationConstraint", "The specified location-constraint is not valid")
	}
	if region == "" {
		region = homeRegion
	}
	if c.region != homeRegion && c.region != region || !c.account().hasEnabled(region) {
		return nil, refuse(http.StatusBadRequest, "IllegalLocationConstraintException",
			"The "+region+" location constraint is incompatible for the region specific endpoint this request was sent to.")
	}
	if refused := checkBucketTags(in.Tags); refused != nil {
		return nil, refused
	}
	ownership := c.http.Header.Get(ownershipHeader)
	if ownership == "" {
		ownership = objectOwnerships[0]
	}
	if !slices.Contains(objectOwnerships, ownership) {
		return nil, refuse(http.StatusBadRequest, "InvalidArgument", "Invalid x-amz-object-ownership header: "+ownership)
	}
	created := s3Reply{header: http.Header{"Location": {"/" + name}}}
	switch owner := c.sim.buckets[name]; {
	case owner == c.accountID && region == homeRegion && c.account().Buckets[name].Region == homeRegion:
		return created, nil // the answer does not show that the bucket existed, and its tags do not change
	case owner == c.accountID:
		return nil, refuse(http.StatusConflict, "BucketAlreadyOwnedByYou",
			"Your previous request to create the named bucket succeeded and you already own it.")
	case owner != "":
		return nil, refuse(http.StatusConflict, "BucketAlreadyExists",
			"The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a "+
				"different name and try again.")
	}
	bucket := Bucket{Region: region, Created: c.sim.now().Truncate(time.Second), ObjectOwnership: ownership}
	// Since 2023, new buckets block public access.
	bucket.PublicAccessBlock = &PublicAccessBlock{true, true, true, true}
	for _, t := range in.Tags {
		put(&bucket.Tags, t.Key, t.Value)
	}
	put(&c.draft(c.accountID).Buckets, name, bucket)
	c.effect("bucket/"+name, "created")
	return created, nil
}

func checkBucketTags(tags []tag) *apiError {
	seen := map[string]bool{}
	for _, t := range tags {
		if seen[t.Key] {
			return refuse(http.StatusBadRequest, "InvalidTag", "Cannot provide multiple Tags with the same key")
		}
		seen[t.Key] = true
		switch {
		case t.Key == "" || len([]rune(t.Key)) > 128:
			return refuse(http.StatusBadRequest, "InvalidTag", "The TagKey you have provided is invalid")
		case len([]rune(t.Value)) > 256:
			return refuse(http.StatusBadRequest, "InvalidTag", "The TagValue you have provided is invalid")
		case strings.HasPrefix(t.Key, "aws:"):
			return refuse(http.StatusBadRequest, "InvalidTag", "System tags cannot be added/updated by requester")
		}
	}
	if len(tags) > maxBucketTags {
		return refuse(http.StatusBadRequest, "BadRequest", "Bucket tag count cannot be greater than "+itoa(maxBucketTags))
	}
	return nil
}

// open returns the bucket that the call addresses: as reads see it for a read, in its current state for a write. It refuses a bucket
// of another owner or region.
func (c *call) open(read bool) (string, Bucket, *apiError) {
	name := c.s3.bucket
	missing := refuse(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
	owner, ok := c.sim.buckets[name]
	if !ok && !read {
		return "", Bucket{}, missing
	}
	if !ok {
		owner = c.accountID // deleted, but reads may still see it
	}
	if expected := c.http.Header.Get("X-Amz-Expected-Bucket-Owner"); expected != "" && expected != owner {
		return "", Bucket{}, c.wire.refusal(c, accessDenied, "Access Denied")
	}
	state := c.sim.accounts[owner].current
	if read {
		state = c.sim.view(c.sim.accounts[owner], "s3", c.stale)
	}
	bucket, ok := state.Buckets[name]
	if !ok {
		return "", Bucket{}, missing
	}
	if refused := c.bucketPolicyAllows(owner, bucket); refused != nil {
		return "", Bucket{}, refused
	}
	if bucket.Region != c.region && c.name != "GetBucketLocation" {
		e := refuse(http.StatusMovedPermanently, "PermanentRedirect",
			"The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to "+
				"this endpoint.")
		e.header = http.Header{"X-Amz-Bucket-Region": {bucket.Region}}
		return "", Bucket{}, e
	}
	return owner, bucket, nil
}

// bucketPolicyAllows evaluates the bucket's own policy. A Deny applies to every caller, and a caller from another account also needs an
// Allow. Every request counts as made over TLS, as it would be to AWS.
func (c *call) bucketPolicyAllows(owner string, bucket Bucket) *apiError {
	answer := silent
	var asked question
	if bucket.Policy != "" {
		p := c.sim.mustPolicy(bucket.Policy)
		for _, asked = range c.op.needs(c) {
			asked.caller = c.caller.arn
			asked.context = map[string][]string{"aws:securetransport": {"true"}}
			if answer = p.evaluate(asked); answer == denied {
				break
			}
		}
	}
	switch {
	case answer == denied && owner == c.accountID:
		return c.deny(asked, denied, "resource-based policy")
	case answer == denied || answer == silent && owner != c.accountID:
		return c.wire.refusal(c, accessDenied, "Access Denied") // other accounts do not see the reason
	}
	return nil
}

// changeBucket applies f to the bucket that the call addresses.
func changeBucket(c *call, what string, f func(*Bucket) *apiError) (any, *apiError) {
	owner, bucket, refused := c.open(false)
	if refused != nil {
		return nil, refused
	}
	bucket = bucket.clone()
	if refused := f(&bucket); refused != nil {
		return nil, refused
	}
	c.draft(owner).Buckets[c.s3.bucket] = bucket
	c.effectIn(owner, "bucket/"+c.s3.bucket, what)
	return s3Reply{status: http.StatusNoContent}, nil
}

// listBuckets lists the account's own buckets by name. Without max-buckets and a token, S3 returns all of them and not a page.
func listBuckets(c *call) (any, *apiError) {
	type entry struct{ Name, CreationDate, BucketRegion string }
	query := c.s3.query
	limit := maxBucketsAPage
	if text := query.Get("max-buckets"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxBucketsAPage {
			return nil, refuse(http.StatusBadRequest, "InvalidArgument",
				"Argument max-buckets must be an integer between 1 and "+itoa(maxBucketsAPage))
		}
		limit = n
	}
	after, err := base64.RawURLEncoding.DecodeString(query.Get("continuation-token"))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "InvalidArgument", "The continuation token provided is incorrect")
	}
	out := struct {
		XMLName           xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
		Owner             struct{ ID string }
		Buckets           []entry `xml:"Buckets>Bucket"`
		Prefix            string  `xml:",omitempty"`
		ContinuationToken string  `xml:",omitempty"`
	}{Prefix: query.Get("prefix")}
	out.Owner.ID = canonicalID(c.accountID)
	view := c.view()
	for _, name := range keys(view.Buckets) {
		bucket, region := view.Buckets[name], query.Get("bucket-region")
		if name <= string(after) || !strings.HasPrefix(name, out.Prefix) || region != "" && region != bucket.Region {
			continue
		}
		if len(out.Buckets) == limit {
			out.ContinuationToken = base64.RawURLEncoding.EncodeToString([]byte(out.Buckets[limit-1].Name))
			break
		}
		out.Buckets = append(out.Buckets, entry{name, timestamp(bucket.Created), bucket.Region})
	}
	return s3Reply{body: out}, nil
}

// canonicalID returns the 64-digit id that S3 uses for an account.
func canonicalID(accountID string) string {
	sum := sha256.Sum256([]byte(accountID))
	return hex.EncodeToString(sum[:])
}

func headBucket(c *call) (any, *apiError) {
	_, bucket, refused := c.open(true)
	if refused != nil {
		return nil, refused
	}
	return s3Reply{header: http.Header{"X-Amz-Bucket-Region": {bucket.Region}}}, nil
}

func deleteBucket(c *call) (any, *apiError) {
	owner, bucket, refused := c.open(false)
	if refused != nil {
		return nil, refused
	}
	switch {
	case len(bucket.Versions) > 0:
		return nil, refuse(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty. You must delete all "+
			"versions in the bucket.")
	case len(bucket.Objects) > 0:
		return nil, refuse(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty")
	}
	delete(c.draft(owner).Buckets, c.s3.bucket)
	c.effectIn(owner, "bucket/"+c.s3.bucket, "deleted")
	return s3Reply{status: http.StatusNoContent}, nil
}

func getBucketLocation(c *call) (any, *apiError) {
	_, bucket, refused := c.open(true)
	if refused != nil {
		return nil, refused
	}
	location := struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
		Region  string   `xml:",chardata"`
	}{Region: bucket.Region}
	if location.Region == homeRegion {
		location.Region = "" // us-east-1 has no location constraint
	}
	return s3Reply{body: location}, nil
}
