"""Any endpoint that speaks `POST /v1/chat/completions`, for evaluation."""
