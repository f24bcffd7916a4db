"""Reports runs to programs that follow experiments: TensorBoard and MLflow.

Each is a plugin module with notice hooks, which do nothing unless an environment variable says where to write.
"""
