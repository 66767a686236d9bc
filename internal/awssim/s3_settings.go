package awssim

import (
	"encoding/xml"
	"net/http"
)

// tagging is the body of the tagging operations.
type tagging struct {
	XMLName xml.Name `xml:"Tagging"`
	XMLNS   string   `xml:"xmlns,attr,omitempty"`
	TagSet  []tag    `xml:"TagSet>Tag"`
}

func getBucketTagging(c *call) (any, *apiError) {
	_, bucket, refused := c.open(true)
	if refused != nil {
		return nil, refused
	}
	if len(bucket.Tags) == 0 {
		return nil, refuse(http.StatusNotFound, "NoSuchTagSet", "The TagSet does not exist")
	}
	return s3Reply{body: tagging{XMLNS: s3Namespace, TagSet: tagList(bucket.Tags)}}, nil
}

func putBucketTagging(c *call) (any, *apiError) {
	var in tagging
	if err := xml.Unmarshal(c.body, &in); err != nil {
		return nil, malformedXML()
	}
	if refused := checkBucketTags(in.TagSet); refused != nil {
		return nil, refused
	}
	return changeBucket(c, "tagged", func(b *Bucket) *apiError {
		b.Tags = nil // the request replaces all tags
		for _, t := range in.TagSet {
			put(&b.Tags, t.Key, t.Value)
		}
		return nil
	})
}

func deleteBucketTagging(c *call) (any, *apiError) {
	return changeBucket(c, "untagged", func(b *Bucket) *apiError { b.Tags = nil; return nil })
}

func getBucketPolicy(c *call) (any, *apiError) {
	_, bucket, refused := c.open(true)
	if refused != nil {
		return nil, refused
	}
	if bucket.Policy == "" {
		return nil, refuse(http.StatusNotFound, "NoSuchBucketPolicy", "The bucket policy does not exist")
	}
	return s3Reply{header: http.Header{"Content-Type": {"application/json"}}, text: []byte(bucket.Policy)}, nil
}

func putBucketPolicy(c *call) (any, *apiError) {
	document := string(c.body)
	malformed := func(why string) *apiError { return refuse(http.StatusBadRequest, "MalformedPolicy", why) }
	if len(document) > maxBucketPolicy {
		return nil, malformed("Policies must not be longer than 20 KB")
	}
	if _, err := c.sim.bucketPolicy(document, c.s3.bucket); err != nil {
		return nil, malformed(err.Error())
	}
	return changeBucket(c, "policy put", func(b *Bucket) *apiError { b.Policy = document; return nil })
}

func deleteBucketPolicy(c *call) (any, *apiError) {
	return changeBucket(c, "policy deleted", func(b *Bucket) *apiError { b.Policy = ""; return nil })
}

// accessBlock is the body of the public access block operations.
type accessBlock struct {
	XMLName               xml.Name `xml:"PublicAccessBlockConfiguration"`
	XMLNS                 string   `xml:"xmlns,attr,omitempty"`
	BlockPublicAcls       bool
	IgnorePublicAcls      bool
	BlockPublicPolicy     bool
	RestrictPublicBuckets bool
}

func getPublicAccessBlock(c *call) (any, *apiError) {
	_, bucket, refused := c.open(true)
	if refused != nil {
		return nil, refused
	}
	b := bucket.PublicAccessBlock
	if b == nil {
		return nil, refuse(http.StatusNotFound, "NoSuchPublicAccessBlockConfiguration",
			"The public access block configuration was not found")
	}
	return s3Reply{body: accessBlock{
		XMLNS: s3Namespace, BlockPublicAcls: b.BlockPublicAcls, IgnorePublicAcls: b.IgnorePublicAcls,
		BlockPublicPolicy: b.BlockPublicPolicy, RestrictPublicBuckets: b.RestrictPublicBuckets,
	}}, nil
}

func putPublicAccessBlock(c *call) (any, *apiError) {
	var in accessBlock
	if err := xml.Unmarshal(c.body, &in); err != nil {
		return nil, malformedXML()
	}
	out, refused := changeBucket(c, "public access block put", func(b *Bucket) *apiError {
		b.PublicAccessBlock = &PublicAccessBlock{in.BlockPublicAcls, in.IgnorePublicAcls, in.BlockPublicPolicy, in.RestrictPublicBuckets}
		return nil
	})
	if refused != nil {
		return nil, refused
	}
	reply, _ := out.(s3Reply)
	reply.status = http.StatusOK
	return reply, nil
}

func deletePublicAccessBlock(c *call) (any, *apiError) {
	return changeBucket(c, "public access block deleted", func(b *Bucket) *apiError { b.PublicAccessBlock = nil; return nil })
}
