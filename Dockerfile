# One image, two commands: `lockkeeper serve` (the bot) and `lockkeeper worker`. The lab is not in it.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.txt ./
RUN python -m venv /opt/lockkeeper \
 && /opt/lockkeeper/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md lockkeeper.py ./
COPY bot bot
COPY workers workers
COPY policies policies
COPY cluster cluster
RUN site=$(/opt/lockkeeper/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && cp -r bot workers policies cluster lockkeeper.py "$site"/ \
 && printf '#!/opt/lockkeeper/bin/python\nfrom lockkeeper import main\nmain()\n' > /opt/lockkeeper/bin/lockkeeper \
 && chmod 0755 /opt/lockkeeper/bin/lockkeeper \
 && /opt/lockkeeper/bin/python -m compileall -q "$site"

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home lockkeeper
COPY --from=build /opt/lockkeeper /opt/lockkeeper
ENV PATH=/opt/lockkeeper/bin:$PATH PYTHONUNBUFFERED=1 LOCKKEEPER_CONFIG=/etc/lockkeeper/lockkeeper.yaml
USER 10001
# exec form: the process itself is PID 1 and gets SIGTERM, so that it can hand its work over
ENTRYPOINT ["lockkeeper"]
CMD ["serve"]
