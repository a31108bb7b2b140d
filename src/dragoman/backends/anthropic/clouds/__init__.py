"""The Messages API on Bedrock and Vertex."""
