# A stand-in for rabbitmq:4-management where it cannot be pulled: Debian's broker, 3.10, behind the same few settings.
FROM stand-in:latest
COPY rabbitmq-start /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/lib/rabbitmq/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/var/lib/rabbitmq LANG=C.UTF-8 LC_ALL=C.UTF-8
RUN mkdir -p /etc/rabbitmq/conf.d
VOLUME /var/lib/rabbitmq
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]
